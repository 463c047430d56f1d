//! CEL, the Common Expression Language, over an event: filters on data, parameters, keys.
//!
//! A [`Program`] is compiled once, when an object that holds it is read, and asked for each event. It knows one variable,
//! `event`: its attributes and extensions (`event.type`, `event["type"]`; typed ones keep their types) and `event.data`,
//! the data where it is JSON, which is parsed only if the expression mentions it. JSON numbers stay as they were written
//! until somebody calculates with them.
//!
//! **Whoever may write a Trigger must not be able to stop the sink, and neither must whoever sends an event.** So an
//! expression is short ([`MAX_SOURCE`]), shallow, and iterates in one level; every step of an evaluation is counted and
//! paid for ([`MAX_STEPS`]), a step more is an error, and what is copied is paid for by its length. All that are asked about
//! one event share another budget ([`MAX_EVENT_STEPS`]), so that many of them are no way around the first. This is why the
//! language is read and evaluated here, and not by the interpreter that comes with our Kubernetes client for the rules of
//! definitions: that one has no budget, copies a variable with everything in it whenever it is mentioned, and its parser
//! reads what stands behind `!!` twice, so that each `!!(` doubles its time, and overflowed the stack of a thread with
//! fourteen of them. A test holds the two against each other where both give an answer.
//!
//! What there is: literals, lists, maps with string keys, `.` and `[]`, `has`, `all`, `exists`, `exists_one`, `map`,
//! `filter`, `?:`, `&&`, `||`, `!`, comparisons, `in`, arithmetic, and the functions of [`function`]. `&&`, `||`, `all` and
//! `exists` pass over an error where the other side decides, as the language has it. Bytes, timestamps, durations and
//! messages are not there; an expression that asks for them does not compile.
//!
//! Beyond the language's own rules: integers and doubles may meet in arithmetic (JSON does not tell `1` from `1.0`), and
//! nothing can be read from `null`, as if it were not there.

mod arithmetic;
mod call;
mod error;
mod evaluate;
mod explain;
mod function;
mod input;
mod json;
mod lexer;
mod parser;
mod program;
mod syntax;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use error::{CompileError, Error, Problem};
pub use input::{Input, MAX_EVENT_STEPS};
pub use program::{MAX_DATA_TO_ITERATE, MAX_SOURCE, MAX_STEPS, Program};
pub use value::{Text, Value};
