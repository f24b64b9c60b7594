"""Generated from `protos/` by `make protos`. Not edited by hand."""
