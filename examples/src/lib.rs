//! Programs that show flyrpc at work.
