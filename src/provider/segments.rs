//! How long a short message is.

/// How many short messages a text takes (3GPP TS 23.038): 160 characters of the GSM alphabet in one or
/// 153 in each of several; 70 and 67 as soon as one character is not of that alphabet.
pub fn sms_segments(text: &str) -> usize {
    let mut septets = Some(0);
    for character in text.chars() {
        let width = if GSM.contains(character) {
            Some(1)
        } else if GSM_EXTENSION.contains(character) {
            Some(2)
        } else {
            None
        };
        septets = septets.zip(width).map(|(sum, width)| sum + width);
    }
    let (length, alone, each) = match septets {
        Some(septets) => (septets, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if length <= alone {
        1
    } else {
        length.div_ceil(each)
    }
}

const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_as_phones_count_them() {
        for (text, count) in [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("ж".repeat(70), 1),
            ("ж".repeat(71), 2),
            (String::new(), 1),
        ] {
            assert_eq!(sms_segments(&text), count, "{text}");
        }
    }
}
