//! Structured fields and priorities: parsing never fails loudly, and what was
//! parsed survives being written.

use aqueduct_core::wire::priority::{MAX_URGENCY, Priority};
use aqueduct_core::wire::sf;

/// Reads the input as each kind of field value.
pub fn target(data: &[u8]) {
    let priority = Priority::parse(data);
    assert!(priority.urgency <= MAX_URGENCY);
    assert_eq!(Priority::parse(priority.encode().as_bytes()), priority);

    if let Ok(list) = sf::string_list(data) {
        assert!(list.len() <= sf::MAX_MEMBERS);
        let wire = sf::encode_string_list(list.iter().map(String::as_str)).expect("printable");
        assert_eq!(sf::string_list(wire.as_bytes()), Ok(list));
    }
    if let Ok(text) = sf::string(data) {
        let mut wire = String::new();
        sf::put_string(&mut wire, &text).expect("printable");
        assert_eq!(sf::string(wire.as_bytes()), Ok(text));
    }
    if let Ok(value) = sf::boolean(data) {
        assert_eq!(sf::boolean(sf::encode_boolean(value).as_bytes()), Ok(value));
    }
}
