//! Behaviour of flyrpc as its users see it.
