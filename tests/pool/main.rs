//! The pool of a client: anything may happen to it, and servers restart under it. A
//! failure names its seed, and the command that repeats it.

mod anything;
mod ends;
mod over_streams;
mod restarts;
mod sequence;
mod world;
