"""Sessions and calendars, instruments, symbols, ticks, front month."""
