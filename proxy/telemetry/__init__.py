"""What is reported of the traffic: records, access log, metrics, logging, notifications."""
