//! REST v1 of a cluster: routes, OpenAPI, event stream.
