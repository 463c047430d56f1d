//! Objects, watches and patches over HTTP, as the Kubernetes API server does them.
