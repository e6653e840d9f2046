"""Topics behind one small interface: embedded (a file, no server) or Kafka."""

from spymaster.bus.interface import Bus, Message, Producer, Reader
from spymaster.bus.keys import partition_of
from spymaster.bus.opened import open_bus

__all__ = ["Bus", "Message", "Producer", "Reader", "open_bus", "partition_of"]
