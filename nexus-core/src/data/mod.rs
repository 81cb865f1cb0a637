//! From text records to padded batches.
