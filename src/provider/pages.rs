//! Answers that come in pages, as a stream.
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use smtp2go_gateway::provider::groups::suppression::ViewSuppressions;
//! use smtp2go_gateway::provider::{ApiError, Provider};
//!
//! async fn count(provider: &Provider) -> Result<usize, ApiError> {
//!     let pages = provider.pages(ViewSuppressions::default());
//!     let count = |sum, page: <ViewSuppressions as smtp2go_gateway::provider::Endpoint>::Response| async move {
//!         Ok(sum + page.results.map_or(0, |results| results.len()))
//!     };
//!     pages.try_fold(0, count).await
//! }
//! ```

use futures_util::stream::{self, Stream};

use super::client::Provider;
use super::error::ApiError;
use super::groups::activity::{Activity, SearchActivity};
use super::groups::archive::{Archive, SearchArchive};
use super::groups::email::{FoundEmails, SearchEmails};
use super::groups::subaccount::{SearchSubaccounts, Subaccounts};
use super::groups::suppression::{Suppressions, ViewSuppressions};
use super::groups::template::{SearchTemplates, TemplatesFound};
use super::operation::Endpoint;

/// An operation whose answer says where to go on.
pub trait Paged: Endpoint {
    /// The same question, from there on.
    fn continue_from(&mut self, token: String);
    /// Where the page behind this one begins; `None` at the end.
    fn next(page: &Self::Response) -> Option<String>;
}

impl Provider {
    /// All pages, one call each, as they are asked for. A token that comes twice in a row ends them: it would go
    /// on for ever.
    pub fn pages<E: Paged>(&self, request: E) -> impl Stream<Item = Result<E::Response, ApiError>> {
        let first = Some((request, None::<String>));
        stream::try_unfold(first, move |state| async move {
            let Some((mut request, token)) = state else {
                return Ok(None);
            };
            if let Some(token) = &token {
                request.continue_from(token.clone());
            }
            let page = self.call(&request).await?;
            let next =
                E::next(&page).filter(|next| !next.is_empty() && Some(next) != token.as_ref());
            Ok(Some((page, next.map(|next| (request, Some(next))))))
        })
    }
}

/// All of them call the token by the same name.
macro_rules! paged {
    ($($request:ty => $response:ty,)*) => {
        $(impl Paged for $request {
            fn continue_from(&mut self, token: String) {
                self.continue_token = Some(token);
            }

            fn next(page: &$response) -> Option<String> {
                page.continue_token.clone()
            }
        })*
    };
}

paged! {
    SearchActivity => Activity,
    SearchArchive => Archive,
    SearchEmails => FoundEmails,
    SearchSubaccounts => Subaccounts,
    SearchTemplates => TemplatesFound,
    ViewSuppressions => Suppressions,
}
