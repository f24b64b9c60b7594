"""The pool as a Kubernetes API server says it: an InferencePool, or the pods of a selector."""
