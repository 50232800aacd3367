//! What a task's function takes and gives, and why some cannot be tasks.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Error, FnArg, ItemFn, Pat, PatType, Result, ReturnType, Safety, Type};

/// Most arguments of one kind: so many have an encoding in `nws::task`.
const ARGUMENTS: usize = 8;

/// One argument.
pub(crate) struct Argument {
    /// The type of what is sent.
    pub(crate) owned: TokenStream,
    /// What the reference points to, where it is one.
    pub(crate) borrowed: Option<Type>,
    /// Whether all tasks of a call share it.
    pub(crate) fixed: bool,
}

/// What a task's function gives.
pub(crate) struct Output {
    /// As it is written; `()` where nothing is.
    pub(crate) written: TokenStream,
    /// Whether it is a `Result` by its name.
    pub(crate) fails: bool,
}

/// Reads the arguments, and takes the marks `#[fixed]` away.
pub(crate) fn arguments(function: &mut ItemFn) -> Result<Vec<Argument>> {
    let read: Vec<Argument> = function.sig.inputs.iter_mut().map(argument).collect::<Result<_>>()?;
    let fixed = read.iter().filter(|argument| argument.fixed).count();
    if fixed > ARGUMENTS || read.len() - fixed > ARGUMENTS {
        let message =
            format!("a task takes at most {ARGUMENTS} arguments of a kind: put several into a struct or tuple");
        return Err(Error::new_spanned(&function.sig.inputs, message));
    }
    Ok(read)
}

fn argument(input: &mut FnArg) -> Result<Argument> {
    let PatType { attrs, ty, pat, .. } = match input {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            let message = "a task is a function by itself, not a method: take the value as an ordinary argument";
            return Err(Error::new_spanned(receiver, message));
        }
    };
    let marks = attrs.len();
    attrs.retain(|attribute| !is_fixed(attribute));
    let fixed = attrs.len() < marks;
    if matches!(**pat, Pat::Rest(_)) {
        return Err(Error::new_spanned(pat, "a task takes a number of arguments that is known"));
    }
    let written = (**ty).clone();
    let borrowed = match &written {
        Type::Reference(reference) if reference.mutability.is_some() => {
            let message = "a task works on a copy of what was sent, so it cannot change the original: take the value \
                           and return what becomes of it";
            return Err(Error::new_spanned(reference, message));
        }
        Type::Reference(reference) => {
            if let Some(lifetime) = &reference.lifetime {
                let message = "an argument lives as long as its task: leave the lifetime out";
                return Err(Error::new_spanned(lifetime, message));
            }
            Some((*reference.elem).clone())
        }
        _ => None,
    };
    let held = borrowed.as_ref().unwrap_or(&written);
    if let Some(why) = cannot_travel(held.to_token_stream()) {
        return Err(Error::new_spanned(&written, format!("an argument of a task cannot be sent to a worker if {why}")));
    }
    let owned = match &borrowed {
        Some(elem) => quote! { <#elem as ::nws::task::Borrowed>::Owned },
        None => written.to_token_stream(),
    };
    Ok(Argument { owned, borrowed, fixed })
}

fn is_fixed(attribute: &Attribute) -> bool {
    attribute.path().is_ident("fixed")
}

/// Reads the result's type.
pub(crate) fn output(function: &ItemFn) -> Result<Output> {
    let written = match &function.sig.output {
        ReturnType::Default => return Ok(Output { written: quote! { () }, fails: false }),
        ReturnType::Type(_, written) => written,
    };
    if matches!(**written, Type::Never(_)) {
        return Err(Error::new_spanned(written, "a task comes to an end: return something, or nothing"));
    }
    if let Some(why) = cannot_travel(written.to_token_stream()) {
        return Err(Error::new_spanned(written, format!("a task's result cannot be sent back if {why}")));
    }
    let fails = matches!(&**written, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "Result"));
    Ok(Output { written: written.to_token_stream(), fails })
}

/// Why a value of such a type cannot be sent, as far as its spelling tells; the rest is serde's.
fn cannot_travel(tokens: TokenStream) -> Option<&'static str> {
    let mut before_is_tick = false;
    for token in tokens {
        let why = match &token {
            TokenTree::Group(group) => cannot_travel(group.stream()),
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                Some("it holds references: let it own its parts (String for &str, Vec for slices)")
            }
            TokenTree::Ident(ident) if before_is_tick && ident != "static" => {
                Some("it has a lifetime: let it own its parts")
            }
            TokenTree::Ident(ident) if ident == "impl" || ident == "dyn" => {
                Some("its type is not known: name a type that implements serde::Serialize and serde::Deserialize")
            }
            _ => None,
        };
        if why.is_some() {
            return why;
        }
        before_is_tick = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
    }
    None
}

/// Refuses functions that cannot be tasks whatever their arguments are.
pub(crate) fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let message = "a task is not async: a worker runs one at a time, on a thread that may block; use a runtime's \
                       block_on inside";
        return Err(Error::new_spanned(asyncness, message));
    }
    if !matches!(signature.safety, Safety::Default) {
        return Err(Error::new_spanned(
            &signature.safety,
            "a task is a safe function: put what is unsafe into a block inside",
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a task is an ordinary function: call the foreign one inside"));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, "a task takes a number of arguments that is known"));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "a task is not generic, as workers find it by its name: make one for each type, which may call a \
                       generic function";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    Ok(())
}
