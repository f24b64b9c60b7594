"""One leader among several pickers, by a Lease on Kubernetes."""
