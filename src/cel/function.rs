//! The functions that expressions may call. Those of the language itself, and of Kubernetes' additions the ones on strings
//! that turn an event's text into what a container wants.

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `size(x)`, `x.size()`: characters of a string, elements of a list, members of an object.
    Size,
    /// `text.contains(part)`.
    Contains,
    /// `text.startsWith(part)`.
    StartsWith,
    /// `text.endsWith(part)`.
    EndsWith,
    /// `text.lowerAscii()`.
    LowerAscii,
    /// `text.upperAscii()`.
    UpperAscii,
    /// `text.trim()`: without white space at both ends.
    Trim,
    /// `text.replace(part, other)`.
    Replace,
    /// `text.split(separator)`.
    Split,
    /// `text.substring(start)`, `text.substring(start, end)`.
    Substring,
    /// `text.indexOf(part)`; -1 if it is not there.
    IndexOf,
    /// `list.join()`, `list.join(separator)`.
    Join,
    /// `string(x)`.
    String,
    /// `int(x)`.
    Int,
    /// `uint(x)`.
    Uint,
    /// `double(x)`.
    Double,
    /// `bool(x)`.
    Bool,
    /// `dyn(x)`: the value itself.
    Dyn,
}

/// Name, how it is called, how many arguments it takes, without what stands before the dot.
type Row = (&'static str, bool, &'static [usize], Function);

const FUNCTIONS: [Row; 19] = [
    ("size", false, &[1], Function::Size),
    ("size", true, &[0], Function::Size),
    ("contains", true, &[1], Function::Contains),
    ("startsWith", true, &[1], Function::StartsWith),
    ("endsWith", true, &[1], Function::EndsWith),
    ("lowerAscii", true, &[0], Function::LowerAscii),
    ("upperAscii", true, &[0], Function::UpperAscii),
    ("trim", true, &[0], Function::Trim),
    ("replace", true, &[2], Function::Replace),
    ("split", true, &[1], Function::Split),
    ("substring", true, &[1, 2], Function::Substring),
    ("indexOf", true, &[1], Function::IndexOf),
    ("join", true, &[0, 1], Function::Join),
    ("string", false, &[1], Function::String),
    ("int", false, &[1], Function::Int),
    ("uint", false, &[1], Function::Uint),
    ("double", false, &[1], Function::Double),
    ("bool", false, &[1], Function::Bool),
    ("dyn", false, &[1], Function::Dyn),
];

/// The function of that name, called as a method or not, with so many arguments; or what is wrong with the call.
pub(super) fn find(name: &str, is_method: bool, arguments: usize) -> Result<Function, String> {
    let named = || FUNCTIONS.iter().filter(move |(known, ..)| *known == name);
    let Some((.., numbers, function)) = named().find(|(_, method, ..)| *method == is_method) else {
        return Err(match named().next() {
            Some((_, true, ..)) => format!("`{name}` is called on a value: `value.{name}(…)`"),
            Some(_) => format!("`{name}` is not called on a value: `{name}(value)`"),
            None => format!("there is no function `{name}`"),
        });
    };
    if numbers.contains(&arguments) {
        return Ok(*function);
    }
    let wanted: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    Err(format!("`{name}` takes {} arguments, not {arguments}", wanted.join(" or ")))
}
