//! Every decision as a plain function.
