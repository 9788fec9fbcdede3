//! Simulated multi-region clusters for testing services built with flyrpc.
