"""The process: its signals, its watchdog, its vital signs and its log."""
