//! `#[nws::task]`.
//!
//! A function `f` stays what it is. Beside it comes a type `f`, which is the task: `f::task()` is its
//! value, and it is entered in the table in which workers look tasks up. The type has braces, so that
//! only names of types are taken: a unit struct would be a constant, and no variable could be named `f`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Attribute, Error, Index, Item, ItemFn, Result};

use crate::signature::{self, Argument};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new_spanned(attribute, "#[nws::task] takes no arguments; options go to the call"));
    }
    let mut function = match syn::parse2::<Item>(item)? {
        Item::Fn(function) => function,
        other => return Err(Error::new_spanned(other, "#[nws::task] goes on a function")),
    };
    signature::check(&function)?;
    let arguments = signature::arguments(&mut function)?;
    Ok(definition(&function, &implementation(&function, &arguments)?))
}

/// The function, the type, and what belongs to it in a scope of its own.
fn definition(function: &ItemFn, implementation: &TokenStream) -> TokenStream {
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let is_condition = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    let conditions: Vec<&Attribute> = function.attrs.iter().filter(is_condition).collect();
    let about = format!("The task of the function [`{name}`](fn@{name}).");
    quote! {
        #function

        #(#conditions)*
        #[doc = #about]
        #[allow(non_camel_case_types, reason = "it stands for the function of this name")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #name {}

        #(#conditions)*
        const _: () = {
            #implementation
            ::nws::task::__private::inventory::submit! { ::nws::task::Entry::of::<#name>() }
        };
    }
}

fn implementation(function: &ItemFn, arguments: &[Argument]) -> Result<TokenStream> {
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let output = signature::output(function)?;
    let returned = &output.written;
    let (given, fixed): (Vec<&Argument>, Vec<&Argument>) = arguments.iter().partition(|argument| !argument.fixed);
    let given_types = given.iter().map(|argument| &argument.owned);
    let fixed_types: Vec<_> = fixed.iter().map(|argument| &argument.owned).collect();
    let names: Vec<_> = (0..given.len()).map(given_name).collect();
    let passed = passed(arguments);
    let call = quote! { #name(#(#passed),*) };
    let (value, settled) = if output.fails {
        (quote! { <#returned as ::nws::task::Fallible>::Value }, quote! { ::nws::task::Fallible::settle(#call) })
    } else {
        (returned.clone(), quote! { ::core::result::Result::Ok(#call) })
    };
    Ok(quote! {
        impl ::nws::task::Task for #name {
            const NAME: &'static str = concat!(module_path!(), "::", stringify!(#name));
            const PLACE: &'static str = concat!(file!(), ":", line!(), ":", column!());
            type Given = (#(#given_types,)*);
            type Fixed = (#(#fixed_types,)*);
            type Output = #value;
            fn run(
                (#(#names,)*): Self::Given,
                __nws_fixed: &Self::Fixed,
            ) -> ::core::result::Result<Self::Output, ::nws::task::TaskError> {
                let _ = __nws_fixed;
                #settled
            }
        }

        #[allow(dead_code, reason = "a task is begun by one or the other")]
        impl #name {
            /// The task, for the calls of a sleigh.
            #visibility const fn task() -> Self {
                Self {}
            }

            /// The task with its fixed arguments: one of them, or a tuple of several.
            #visibility fn with(fixed: impl ::nws::task::Given<(#(#fixed_types,)*)>) -> ::nws::task::Bound<Self> {
                ::nws::task::Bound::new(fixed)
            }
        }
    })
}

/// A variable that hides no function.
fn given_name(number: usize) -> Ident {
    format_ident!("__nws_given_{number}")
}

/// The expressions that the function is called with.
fn passed(arguments: &[Argument]) -> Vec<TokenStream> {
    let (mut given, mut fixed) = (0, 0);
    arguments
        .iter()
        .map(|argument| match (argument.fixed, &argument.borrowed) {
            (false, borrowed) => {
                let name = given_name(given);
                given += 1;
                match borrowed {
                    Some(elem) => quote! { ::core::borrow::Borrow::<#elem>::borrow(&#name) },
                    None => quote! { #name },
                }
            }
            (true, borrowed) => {
                let place = Index::from(fixed);
                fixed += 1;
                match borrowed {
                    Some(elem) => quote! { ::core::borrow::Borrow::<#elem>::borrow(&__nws_fixed.#place) },
                    None => quote! { ::core::clone::Clone::clone(&__nws_fixed.#place) },
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        match expand(TokenStream::new(), item.clone()) {
            Ok(_) => panic!("expected a refusal of {item}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn functions_that_cannot_be_tasks_are_refused_with_what_to_do() {
        let expected = [
            (quote! { fn f<T>(x: T) {} }, "not generic"),
            (quote! { fn f<'a>(x: &'a str) {} }, "not generic"),
            (quote! { fn f() where u8: Copy {} }, "not generic"),
            (quote! { fn f(&self) {} }, "not a method"),
            (quote! { async fn f() {} }, "not async"),
            (quote! { unsafe fn f() {} }, "safe function"),
            (quote! { extern "C" fn f() {} }, "ordinary function"),
            (quote! { fn f(x: &mut Vec<u8>) {} }, "take the value and return what becomes of it"),
            (quote! { fn f(x: &'static str) {} }, "leave the lifetime out"),
            (quote! { fn f(x: Option<&str>) {} }, "String for &str"),
            (quote! { fn f(x: &[&str]) {} }, "String for &str"),
            (quote! { fn f(x: Cow<'a, str>) {} }, "it has a lifetime"),
            (quote! { fn f(x: impl Display) {} }, "its type is not known"),
            (quote! { fn f(x: Box<dyn Display>) {} }, "its type is not known"),
            (quote! { fn f() -> &str {} }, "result cannot be sent back if it holds references"),
            (quote! { fn f() -> impl Display {} }, "its type is not known"),
            (quote! { fn f() -> ! {} }, "comes to an end"),
            (quote! { struct F; }, "goes on a function"),
            (quote! { fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) {} }, "at most 8"),
        ];
        for (item, words) in expected {
            let refusal = refusal(item);
            assert!(refusal.contains(words), "expected {words:?} in {refusal:?}");
        }
        assert!(expand(quote! { timeout = 3 }, quote! { fn f() {} }).is_err());
    }

    #[test]
    fn a_static_lifetime_inside_a_type_is_no_borrow() {
        expand(TokenStream::new(), quote! { fn f(x: Cow<'static, str>) -> Cow<'static, str> { x } }).unwrap();
    }

    #[test]
    fn marks_and_attributes_go_where_they_belong() {
        let item = quote! {
            /// Adds.
            #[cfg(unix)]
            #[inline]
            pub fn add(a: i64, #[fixed] b: i64) -> i64 { a + b }
        };
        let made = expand(TokenStream::new(), item).unwrap().to_string();
        assert!(made.contains("# [inline] pub fn add (a : i64 , b : i64)"), "{made}");
        assert!(made.contains("pub struct add { }"), "{made}");
        assert_eq!(made.matches("# [cfg (unix)]").count(), 3, "{made}");
        assert!(made.contains("type Given = (i64 ,)") && made.contains("type Fixed = (i64 ,)"), "{made}");
    }
}
