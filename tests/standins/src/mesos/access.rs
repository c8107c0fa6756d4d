//! Who may do what: principals by basic authentication, actions by access lists.
//!
//! Pure. Access lists are read as Mesos reads them: keys that it does not know are let pass.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::list;
use crate::http::{Credentials, forbidden};

/// One kind of access to an HTTP server: whether it asks for a principal, and for which realm.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Whether a principal is asked for.
    pub is_closed: bool,
    /// Whose principals.
    pub realm: &'static str,
}

/// The principals and access lists of a master or an agent.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// All principals.
    pub credentials: Credentials,
    /// The access lists; null when there are none.
    pub acls: Value,
}

impl Access {
    /// The principal that asks, `None` where the gate is open; or the refusal.
    ///
    /// # Errors
    /// When the gate is closed to this request.
    pub fn admit(
        &self,
        gate: &Gate,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Box<Response>> {
        if gate.is_closed {
            self.credentials.authenticate(headers, gate.realm).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Lets an action pass on everything, or answers `403`.
    ///
    /// # Errors
    /// When the access lists forbid it.
    pub fn permit(
        &self,
        principal: Option<&str>,
        action: Action,
    ) -> Result<(), Box<Response>> {
        self.permit_on(principal, action, None)
    }

    /// Lets an action pass on one object, or on everything, or answers `403`.
    ///
    /// # Errors
    /// When the access lists forbid it.
    pub fn permit_on(
        &self,
        principal: Option<&str>,
        action: Action,
        object: Option<&str>,
    ) -> Result<(), Box<Response>> {
        let subject = principal.map_or(Entity::Any, Entity::One);
        let object = object.map_or(Entity::Any, Entity::One);
        let is_allowed = self.allows(&subject, action, &object);
        if is_allowed { Ok(()) } else { Err(Box::new(forbidden())) }
    }

    fn allows(
        &self,
        subject: &Entity<'_>,
        (action, objects): Action,
        object: &Entity<'_>,
    ) -> bool {
        let concerned = list(&self.acls[action]).iter().find(|acl| {
            subject.matches(&acl["principals"]) && object.matches(&acl[objects])
        });
        match concerned {
            Some(acl) => {
                subject.is_allowed(&acl["principals"]) && object.is_allowed(&acl[objects])
            }
            None => self.acls["permissive"].as_bool().unwrap_or(true),
        }
    }
}

/// The key of an access list, and the member that names what it is about.
pub type Action = (&'static str, &'static str);

/// Who asks, or what for.
enum Entity<'a> {
    Any,
    One(&'a str),
}

impl Entity<'_> {
    /// Whether an entry speaks of this at all.
    fn matches(&self, entry: &Value) -> bool {
        match (self, entry["type"].as_str()) {
            (_, Some("ANY" | "NONE")) => true,
            (Self::Any, _) => false,
            (Self::One(name), _) => {
                list(&entry["values"]).iter().any(|value| value == name)
            }
        }
    }

    /// Whether an entry that speaks of this allows it.
    fn is_allowed(&self, entry: &Value) -> bool {
        entry["type"].as_str() != Some("NONE")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_entry_that_speaks_of_a_principal_decides() {
        let acls = json!({
            "drain_agents": [
                {"principals": {"values": ["admin"]}, "agents": {"type": "ANY"}},
                {"principals": {"type": "ANY"}, "agents": {"type": "NONE"}},
            ],
            "no_such_action": 1,
        });
        let access = Access { credentials: Credentials::default(), acls };
        let drain = ("drain_agents", "agents");
        assert!(access.permit(Some("admin"), drain).is_ok());
        assert!(access.permit(Some("ro"), drain).is_err());
        assert!(access.permit(None, drain).is_err());
        assert!(access.permit(Some("ro"), ("mark_agents_gone", "agents")).is_ok());
    }

    #[test]
    fn an_entry_may_speak_of_one_object() {
        let acls = json!({"permissive": false, "register_frameworks": [
            {"principals": {"values": ["marathon"]}, "roles": {"values": ["*"]}}]});
        let access = Access { credentials: Credentials::default(), acls };
        let register = ("register_frameworks", "roles");
        assert!(access.permit_on(Some("marathon"), register, Some("*")).is_ok());
        assert!(access.permit_on(Some("marathon"), register, Some("other")).is_err());
        assert!(access.permit_on(Some("stranger"), register, Some("*")).is_err());
        assert!(access.permit(Some("marathon"), register).is_err());
    }

    #[test]
    fn what_no_entry_speaks_of_is_as_permissive_says() {
        let acls = json!({"permissive": false, "drain_agents": [
            {"principals": {"values": ["admin"]}, "agents": {"type": "ANY"}}]});
        let access = Access { credentials: Credentials::default(), acls };
        assert!(access.permit(Some("ro"), ("drain_agents", "agents")).is_err());
        assert!(access.permit(Some("admin"), ("drain_agents", "agents")).is_ok());
    }
}
