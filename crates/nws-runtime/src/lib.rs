//! The user's runtime folder: where servers register and clients find them.
