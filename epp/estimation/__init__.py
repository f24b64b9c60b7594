"""What is learned of the servers and the traffic from requests that we placed."""
