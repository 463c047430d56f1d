//! Use cases on a `kube::Client`.
