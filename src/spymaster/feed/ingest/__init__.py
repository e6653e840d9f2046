"""The ingestor: a live feed onto the topic, and every connection into a file of its own."""
