"""The front door: command line, single-machine supervisor with an embedded Kafka, and a scanner simulator."""
