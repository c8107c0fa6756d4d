//! Strict rendering: if a template names a value that was not given, that is an error, never an
//! empty text.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

/// Why a template cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[error("cannot render the template {name}: {}", detail(source))]
pub struct BadTemplate {
    name: String,
    #[source]
    source: minijinja::Error,
}

/// Renders a template with values. The newline at its end is kept.
///
/// # Errors
/// When the template is not well formed or names a value that is not in `values`.
pub fn render(name: &str, template: &str, values: Value) -> Result<String, BadTemplate> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the usual delimiters differ from each other"),
    );
    environment
        .render_named_str(name, template, values)
        .map_err(|source| BadTemplate { name: name.to_owned(), source })
}

fn detail(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{what}{line}")
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn values_are_put_in_as_they_are_and_a_missing_one_is_an_error_with_its_line() {
        let rendered = render("t.cfg", "a={{ a }}\n", context! { a => "<1>" });
        assert_eq!(rendered.expect("all values are given"), "a=<1>\n");
        let missing =
            render("t.cfg", "a\n{{ b }}\n", context! {}).expect_err("b is missing");
        assert_eq!(
            missing.to_string(),
            "cannot render the template t.cfg: `b` is undefined in line 2"
        );
    }
}
