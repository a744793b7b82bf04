//! Mails with blanks.

use serde_json::{Number, Value};

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Create a template.
    "template" "add": Post "/template/add", VendorDocs, Change;
    AddTemplate {
        /// Case-sensitive.
        id: String,
        /// Template name.
        template_name: String,
        /// The subject.
        subject: String,
        /// HTML.
        html_body: String,
        /// Plain text.
        text_body: String,
        /// Template variables.
        template_variables: Option<Value>,
        /// Labels.
        tags: Option<Vec<String>>,
    } -> Template
}

operation! {
    /// Change a template.
    "template" "edit": Post "/template/edit", VendorDocs, Change;
    EditTemplate {
        /// Its name at the provider.
        id: String,
        /// New id.
        new_id: Option<String>,
        /// Template name.
        template_name: Option<String>,
        /// The subject.
        subject: Option<String>,
        /// HTML.
        html_body: Option<String>,
        /// Plain text.
        text_body: Option<String>,
        /// Template variables.
        template_variables: Option<Value>,
        /// Labels.
        tags: Option<Vec<String>>,
    } -> Template
}

operation! {
    /// Delete a template.
    "template" "delete": Post "/template/delete", VendorDocs, Destroy;
    DeleteTemplate {
        /// Its name at the provider.
        id: String,
    } -> String
}

operation! {
    /// List templates.
    "template" "search": Post "/template/search", VendorDocs, Read;
    SearchTemplates {
        /// Default: `false`.
        fuzzy_search: Option<bool>,
        /// Search terms.
        search_terms: Option<Vec<String>>,
        /// Labels.
        tags: Option<Vec<String>>,
        /// One of `asc`, `desc`. Default: `asc`.
        sort_direction: Option<String>,
        /// Default: `100`.
        page_size: Option<i64>,
        /// From the answer before, to go on behind it.
        continue_token: Option<String>,
    } -> TemplatesFound
}

operation! {
    /// One template.
    "template" "view": Post "/template/view", VendorDocs, Read;
    ViewTemplate {
        /// Its name at the provider.
        id: String,
    } -> Template
}

record! {
    /// What the API says of: template.
    Template {
        /// Its name at the provider.
        id: String,
        /// add and edit answers.
        template_name: String,
        /// search and view answers.
        name: String,
        /// The subject.
        subject: String,
        /// HTML.
        html_body: String,
        /// Plain text.
        text_body: String,
        /// Template variables.
        template_variables: Value,
        /// Labels.
        tags: Vec<String>,
        /// Last updated.
        last_updated: String,
    }
}

record! {
    /// What the API says of: templates found.
    TemplatesFound {
        /// From the answer before, to go on behind it.
        continue_token: String,
        /// Templates.
        templates: Vec<Template>,
        /// Only in the example.
        total_count: Number,
    }
}
