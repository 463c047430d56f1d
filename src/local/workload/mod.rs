//! The controllers a cluster brings along: batch/v1 Job and garbage collection.
