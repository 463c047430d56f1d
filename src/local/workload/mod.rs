//! The controllers of a cluster, for local mode: Jobs and garbage collection. They speak only the Kubernetes API.

mod jobs;
