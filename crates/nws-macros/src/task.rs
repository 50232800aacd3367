//! `#[nws::task]`.
//!
//! A function `f` becomes a unit struct `f`, which is the task, dereferences to the function so that
//! it can still be called, and is entered in the table in which workers look tasks up.

use proc_macro2::TokenStream;
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

/// The struct, and what belongs to it in a scope of its own.
fn definition(function: &ItemFn, implementation: &TokenStream) -> TokenStream {
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let about: Vec<&Attribute> = function.attrs.iter().filter(|attribute| is_about_the_name(attribute)).collect();
    let conditions = about.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let mut inner = function.clone();
    inner.vis = syn::Visibility::Inherited;
    inner.attrs.retain(|attribute| !is_about_the_name(attribute));
    quote! {
        #(#about)*
        #[allow(non_camel_case_types, reason = "it stands for the function of this name")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #name;

        #(#conditions)*
        const _: () = {
            #inner
            #implementation
            ::nws::task::__private::inventory::submit! { ::nws::task::Entry::of::<#name>() }
        };
    }
}

fn is_about_the_name(attribute: &Attribute) -> bool {
    ["doc", "cfg", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
}

fn implementation(function: &ItemFn, arguments: &[Argument]) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let output = signature::output(function)?;
    let written: Vec<_> = arguments.iter().map(|argument| &argument.written).collect();
    let returned = &output.written;
    let (given, fixed): (Vec<&Argument>, Vec<&Argument>) = arguments.iter().partition(|argument| !argument.fixed);
    let given_types = given.iter().map(|argument| &argument.owned);
    let fixed_types = fixed.iter().map(|argument| &argument.owned);
    let names: Vec<_> = (0..given.len()).map(|number| format_ident!("given_{number}")).collect();
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
                fixed: &Self::Fixed,
            ) -> ::core::result::Result<Self::Output, ::nws::task::TaskError> {
                let _ = fixed;
                #settled
            }
        }

        impl ::core::ops::Deref for #name {
            type Target = fn(#(#written),*) -> #returned;
            fn deref(&self) -> &Self::Target {
                static FUNCTION: fn(#(#written),*) -> #returned = #name;
                &FUNCTION
            }
        }
    })
}

/// The expressions that the function is called with.
fn passed(arguments: &[Argument]) -> Vec<TokenStream> {
    let (mut given, mut fixed) = (0, 0);
    arguments
        .iter()
        .map(|argument| match (argument.fixed, &argument.borrowed) {
            (false, borrowed) => {
                let name = format_ident!("given_{given}");
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
                    Some(elem) => quote! { ::core::borrow::Borrow::<#elem>::borrow(&fixed.#place) },
                    None => quote! { ::core::clone::Clone::clone(&fixed.#place) },
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
        assert!(made.contains("# [inline] fn add (a : i64 , b : i64)"), "{made}");
        assert!(made.contains("pub struct add ;"), "{made}");
        assert_eq!(made.matches("# [cfg (unix)]").count(), 2, "{made}");
        assert_eq!(made.matches("# [doc").count(), 1, "{made}");
        assert!(made.contains("type Given = (i64 ,)") && made.contains("type Fixed = (i64 ,)"), "{made}");
    }
}
