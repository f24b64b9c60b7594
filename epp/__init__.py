"""An Endpoint Picker: Envoy asks it which model server should serve a request."""
