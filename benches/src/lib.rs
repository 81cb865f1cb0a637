//! Benchmarks of Nexus beside its peers.
