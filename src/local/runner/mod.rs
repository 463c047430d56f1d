//! A kubelet for processes.
