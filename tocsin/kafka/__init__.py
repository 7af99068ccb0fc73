"""Kafka on one machine: the distribution, the broker process, and the topics."""
