"""What is told of the traffic: records, access log, metrics, logging, notifications."""
