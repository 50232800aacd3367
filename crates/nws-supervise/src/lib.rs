//! Processes: start, watch, cause of death, end whole trees. Knows no protocol.
