//! `#[nws::main]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

/// The program's `main`, which first takes the part that its process has.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new_spanned(attribute, "#[nws::main] takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item)?;
    if function.sig.ident != "main" || !function.sig.inputs.is_empty() {
        let message = "expected the function `main` of a program; elsewhere call `nws::init()`";
        return Err(Error::new_spanned(&function.sig, message));
    }
    let result = &function.sig.output;
    let mut inner = function.clone();
    inner.sig.ident = syn::Ident::new("__nws_main", function.sig.ident.span());
    if inner.sig.asyncness.is_some() && inner.attrs.is_empty() {
        let message = "`main` is async: put #[nws::main] above the attribute of its runtime, such as #[tokio::main]";
        return Err(Error::new_spanned(&function.sig, message));
    }
    Ok(quote! {
        fn main() #result {
            #inner
            ::nws::init();
            __nws_main()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        expand(TokenStream::new(), item).unwrap_err().to_string()
    }

    #[test]
    fn init_comes_before_everything_else() {
        let made = expand(TokenStream::new(), quote! { #[tokio::main] async fn main() -> R { work() } }).unwrap();
        let expected = quote! {
            fn main() -> R {
                #[tokio::main]
                async fn __nws_main() -> R { work() }
                ::nws::init();
                __nws_main()
            }
        };
        assert_eq!(made.to_string(), expected.to_string());
    }

    #[test]
    fn what_is_no_main_is_refused() {
        assert!(refusal(quote! { fn other() {} }).contains("call `nws::init()`"));
        assert!(refusal(quote! { fn main(x: u8) {} }).contains("expected the function `main`"));
        assert!(refusal(quote! { async fn main() {} }).contains("above the attribute of its runtime"));
        assert!(expand(quote! { x }, quote! { fn main() {} }).is_err());
    }
}
