//! One event, one line.

use proto::control::api::EventLine;
use serde_json::{Map, Value, json};

use crate::cli::text::{FAINT, HEAD, columns, escaped, styled};

/// Columns for the kind; the longest today is `shutdown_answered`.
const KIND_WIDTH: usize = 17;

/// For people: `time  kind  field=value …`, never wrapped, so that it can be searched.
#[must_use]
pub fn event_line(event: &EventLine) -> String {
    let fields: Vec<String> =
        fields(event).iter().map(|(name, value)| format!("{}={}", escaped(name), shown(value))).collect();
    let time = styled(FAINT, &event.time);
    let kind = styled(HEAD, &event.kind);
    if fields.is_empty() {
        return format!("{time}  {kind}\n");
    }
    let pad = KIND_WIDTH.saturating_sub(columns(&event.kind));
    format!("{time}  {kind}{:pad$}  {}\n", "", fields.join(" "))
}

/// For programs: the fields of the event beside those that all events have.
#[must_use]
pub fn event_json(event: &EventLine) -> Value {
    let mut object = Map::new();
    object.insert("schema".into(), json!("o2cpg.event/1"));
    object.insert("id".into(), json!(event.id));
    object.insert("time".into(), json!(event.time));
    object.insert("mono_ms".into(), json!(event.mono_ms));
    object.insert("kind".into(), json!(event.kind));
    for (name, value) in fields(event) {
        object.entry(name).or_insert(value);
    }
    Value::Object(object)
}

/// The event's own fields; whatever else the text holds, under one name.
fn fields(event: &EventLine) -> Map<String, Value> {
    let parsed = serde_json::from_str(&event.json);
    let mut fields = match parsed {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => Map::new(),
        _ if event.json.is_empty() => Map::new(),
        _ => Map::from_iter([("fields".to_owned(), json!(event.json))]),
    };
    fields.remove("kind");
    fields
}

/// A word as it is, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"') => {
            text.clone()
        }
        other => escaped(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> EventLine {
        let time = "2026-11-22T05:14:09.113Z".into();
        EventLine { id: 121, time, mono_ms: 881_113, kind: "node_left".into(), json: json.into() }
    }

    fn line(json: &str) -> String {
        anstream::adapter::strip_str(&event_line(&event(json))).to_string()
    }

    #[test]
    fn fields_stand_behind_the_kind() {
        let shown = line(r#"{"kind":"node_left","node":3,"how":"nodedown","why":"two words","list":[1,2]}"#);
        let expected = r#"2026-11-22T05:14:09.113Z  node_left          how=nodedown list=[1,2] node=3 why="two words""#;
        assert_eq!(shown.trim_end(), expected);
        assert_eq!(line("{}"), "2026-11-22T05:14:09.113Z  node_left\n");
    }

    #[test]
    fn hostile_text_cannot_act_on_the_terminal() {
        assert!(!line(r#"{"why":"\u001b[2J"}"#).contains('\x1b'));
        assert!(!line("\x1b[2J").contains('\x1b'));
    }

    #[test]
    fn in_json_the_common_fields_cannot_be_replaced() {
        let value = event_json(&event(r#"{"id":1,"node":3}"#));
        assert_eq!(value["id"], 121);
        assert_eq!(value["node"], 3);
        assert_eq!(value["schema"], "o2cpg.event/1");
    }

    #[test]
    fn what_is_no_object_is_kept_under_one_name() {
        assert_eq!(event_json(&event("[1]"))["fields"], "[1]");
        assert_eq!(event_json(&event("")).get("fields"), None);
    }
}
