//! Our Kubernetes objects.
