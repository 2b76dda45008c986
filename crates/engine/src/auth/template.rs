//! Pure: the name under which an administrator logs in for another user.
//!
//! By SASL two names go side by side (authorization and authentication identity). Servers without that take one name
//! made of both, in a form of their own.

use std::str::FromStr;

/// How an administrator's and a user's name go to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As two names, by SASL: Cyrus, Zimbra, Dovecot, Stalwart.
    #[default]
    Sasl,
    /// As one name.
    OneName(Template),
}

/// One name made of two: text with `{user}`, `{local}` (what is before its `@`) and `{admin}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// Forms that have a name.
///
/// Evidence: Dovecot's page on master users (`auth_master_user_separator = *`); Microsoft's page on migrating IMAP
/// mailboxes for the other two; UW-IMAP's `user*admin` is Dovecot's.
const NAMED: &[(&str, &str)] =
    &[("dovecot", "{user}*{admin}"), ("exchange", "{admin}/{local}"), ("mirapoint", "#{user}#{admin}#")];

/// The names of forms that go by SASL.
const SASL: &[&str] = &["sasl", "cyrus", "zimbra"];

/// What is wrong with a form, or with a name in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Neither a known name nor a template.
    #[error(
        "it is none of sasl, cyrus, zimbra, dovecot, exchange, mirapoint, and no template with {{user}} or {{local}}, \
         and {{admin}}"
    )]
    Unknown,
    /// The user name holds what divides the two names: another user could be meant.
    #[error("the user name holds {0:?}, which divides the two names in this form")]
    Ambiguous(char),
}

impl FromStr for Form {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if SASL.contains(&text) {
            return Ok(Self::Sasl);
        }
        let template = NAMED.iter().find(|(name, _)| *name == text).map_or(text, |(_, template)| template);
        let has = |part: &str| template.matches(part).count() == 1;
        let rest = ["{user}", "{local}", "{admin}"].iter().fold(template.to_owned(), |t, p| t.replace(p, ""));
        let divides = !rest.is_empty() && !rest.contains(['{', '}']) && !rest.contains(char::is_control);
        if has("{admin}") && (has("{user}") ^ has("{local}")) && divides {
            Ok(Self::OneName(Template(template.to_owned())))
        } else {
            Err(TemplateError::Unknown)
        }
    }
}

impl Template {
    /// The name that `admin` logs in with for `user`.
    pub fn name(&self, user: &str, admin: &str) -> Result<String, TemplateError> {
        let local = user.rsplit_once('@').map_or(user, |(local, _)| local);
        let dividers = self.0.replace("{user}", "").replace("{local}", "").replace("{admin}", "");
        let shown = if self.0.contains("{user}") { user } else { local };
        if let Some(divider) = shown.chars().find(|c| dividers.contains(*c)) {
            return Err(TemplateError::Ambiguous(divider));
        }
        let mut name = String::new();
        let mut rest = self.0.as_str();
        // In one pass: what stands in a name is no part of the template.
        while let Some((before, after)) = rest.split_once('{') {
            let (part, after) = after.split_once('}').unwrap_or((after, ""));
            name.push_str(before);
            name.push_str(match part {
                "user" => user,
                "local" => local,
                _ => admin,
            });
            rest = after;
        }
        name.push_str(rest);
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(form: &str, user: &str, admin: &str) -> Result<String, TemplateError> {
        match form.parse()? {
            Form::Sasl => Ok("by SASL".into()),
            Form::OneName(template) => template.name(user, admin),
        }
    }

    #[test]
    fn each_form_makes_the_name_its_server_expects() {
        for (form, user, admin, expected) in [
            ("sasl", "ann", "root", "by SASL"),
            ("cyrus", "ann", "root", "by SASL"),
            ("zimbra", "ann@x.example", "root@x.example", "by SASL"),
            ("dovecot", "ann@x.example", "root", "ann@x.example*root"),
            ("exchange", "ann@x.example", "X/root", "X/root/ann"),
            ("mirapoint", "ann@x.example", "root", "#ann@x.example#root#"),
            ("{admin}\\{user}", "ann@x.example", "root@x.example", "root@x.example\\ann@x.example"),
            ("{user}%{admin}", "ann", "{user}", "ann%{user}"),
        ] {
            assert_eq!(name(form, user, admin).unwrap(), expected, "{form}");
        }
    }

    #[test]
    fn a_form_that_could_name_somebody_else_is_refused() {
        for form in
            ["", "exim", "{user}", "{admin}", "{user}{admin}", "{user}*{admin}{pass}", "{user}{user}*{admin}"]
        {
            assert_eq!(name(form, "ann", "root"), Err(TemplateError::Unknown), "{form}");
        }
        assert_eq!(name("dovecot", "ann*bob", "root"), Err(TemplateError::Ambiguous('*')));
        assert_eq!(name("exchange", "a/b@x.example", "root"), Err(TemplateError::Ambiguous('/')));
    }
}
