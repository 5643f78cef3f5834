use crate::http::pages::html::Html;
use crate::http::pages::reference::text;
use serde_json::Value;

/// Every schema of the document.
pub(super) fn schemas(document: &Value) -> Html {
    let mut html = Html::default();
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        html.raw("<h3 id=\"schema-").text(name).raw("\">").text(name).raw("</h3>\n");
        if let Some(description) = schema["description"].as_str() {
            html.raw("<p>").prose(description).raw("</p>\n");
        }
        write(schema, &mut html);
    }
    html
}

/// What a schema asks for: the table of an object, the list of its variants, or one line.
fn write(schema: &Value, html: &mut Html) {
    let variants = variants(schema);
    if !variants.is_empty() {
        html.raw("<p>One of:</p>\n<ul>\n");
        for variant in variants {
            html.raw("<li>");
            if let Some(description) = variant["description"].as_str() {
                html.prose(description).raw(" ");
            }
            if variant["properties"].is_object() {
                write(variant, html);
            } else {
                html.append(&type_of(variant));
            }
            html.raw("</li>\n");
        }
        html.raw("</ul>\n");
    } else if let Some(properties) = schema["properties"].as_object() {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        html.raw("<table>\n<tr><th>field</th><th>type</th><th></th></tr>\n");
        for (name, property) in properties {
            html.raw("<tr><td><code>").text(name).raw("</code>");
            if required.contains(&name.as_str()) {
                html.raw(" <span class=\"note\">required</span>");
            }
            html.raw("</td><td>").append(&type_of(property)).raw("</td><td>").prose(text(property, "/description"));
            html.raw("</td></tr>\n");
        }
        html.raw("</table>\n");
    } else {
        html.raw("<p>").append(&type_of(schema)).raw("</p>\n");
    }
}

/// A schema in few words; named ones are links.
pub(super) fn type_of(schema: &Value) -> Html {
    let mut html = Html::default();
    write_type(schema, &mut html, 0);
    html
}

fn write_type(schema: &Value, html: &mut Html, depth: usize) {
    if depth > MAX_DEPTH {
        html.raw("…");
    } else if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        html.raw("<a href=\"#schema-").text(name).raw("\">").text(name).raw("</a>");
    } else if let Some(choices) = schema["enum"].as_array() {
        for (place, choice) in choices.iter().enumerate() {
            html.raw(if place == 0 { "<code>" } else { " <code>" }).text(&plain(choice)).raw("</code>");
        }
    } else if !variants(schema).is_empty() {
        for (place, variant) in variants(schema).iter().enumerate() {
            html.raw(if place == 0 { "" } else { " or " });
            write_type(variant, html, depth + 1);
        }
    } else {
        write_plain(schema, html, depth);
    }
}

/// A type that is neither a reference nor a choice.
fn write_plain(schema: &Value, html: &mut Html, depth: usize) {
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => vec!["any"],
    };
    for (place, each) in types.iter().enumerate() {
        html.raw(if place == 0 { "" } else { " or " }).text(each);
        if *each == "array" {
            html.raw(" of ");
            write_type(&schema["items"], html, depth + 1);
        }
        // The width of an integer says nothing that its bounds do not.
        if *each == "string" && schema["format"].is_string() {
            html.raw(" (").text(text(schema, "/format")).raw(")");
        }
    }
    for (keyword, told) in BOUNDS {
        if !schema[keyword].is_null() {
            html.raw(told).raw("<code>").text(&plain(&schema[keyword])).raw("</code>");
        }
    }
}

fn variants(schema: &Value) -> &[Value] {
    let variants = ["oneOf", "anyOf", "allOf"].into_iter().find_map(|keyword| schema[keyword].as_array());
    variants.map_or(&[], Vec::as_slice)
}

/// Texts without their quotes, which are part of the page and not of the value.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Keywords that bound a value, as they are told.
const BOUNDS: [(&str, &str); 8] = [
    ("minimum", ", at least "),
    ("maximum", ", at most "),
    ("minLength", ", length at least "),
    ("maxLength", ", length at most "),
    ("minItems", ", items at least "),
    ("maxItems", ", items at most "),
    ("pattern", ", matches "),
    ("default", ", default "),
];
/// Schemas nest less; the document is ours, and still no page may hang on it.
const MAX_DEPTH: usize = 8;
