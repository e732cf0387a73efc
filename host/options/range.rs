//! Numbers that an option may have.

/// Numbers that an option may have: an interval with its ends, and single numbers beside it that stand for something else, as
/// RELION's −1 does for "off".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    least: f64,
    most: f64,
    besides: &'static [f64],
    /// Word for what `besides` stands for.
    meaning: &'static str,
}

impl Range {
    /// Any finite number.
    pub const ANY: Range = Range::between(f64::NEG_INFINITY, f64::INFINITY);
    /// Nothing or more.
    pub const NOT_NEGATIVE: Range = Range::at_least(0.0);
    /// A pixel size, Å.
    pub const PIXEL_SIZE: Range = Range::between(0.01, 10_000.0);
    /// A resolution, Å. No map of single particles reaches the lowest.
    pub const RESOLUTION: Range = Range::between(0.5, 100_000.0);
    /// A resolution, Å; or none.
    pub const RESOLUTION_OR_OFF: Range = Self::RESOLUTION.or(&[-1.0, 0.0], "off");

    /// Numbers from `least` to `most`, both included.
    pub const fn between(least: f64, most: f64) -> Self {
        Range {
            least,
            most,
            besides: &[],
            meaning: "",
        }
    }

    /// Numbers of at least `least`.
    pub const fn at_least(least: f64) -> Self {
        Self::between(least, f64::INFINITY)
    }

    /// The same numbers, and others that stand for `meaning`.
    pub const fn or(mut self, besides: &'static [f64], meaning: &'static str) -> Self {
        self.besides = besides;
        self.meaning = meaning;
        self
    }

    /// Whether a number is one of these.
    pub fn holds(&self, number: f64) -> bool {
        number.is_finite()
            && ((self.least..=self.most).contains(&number) || self.besides.contains(&number))
    }

    /// Returns a reader of such numbers, in a unit, for the commands of `gerelion`; its errors are the rules that words break.
    pub fn real(
        self,
        unit: &'static str,
    ) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
        move |text| match text.trim().parse() {
            Ok(number) if self.holds(number) => Ok(number),
            Ok(_) => Err(self.rule(unit)),
            Err(_) => Err("it must be a number, without a unit".into()),
        }
    }

    /// Returns a reader of such whole numbers.
    pub fn whole<T: TryFrom<i64> + 'static>(
        self,
        unit: &'static str,
    ) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
        move |text| {
            let number: i64 = text
                .trim()
                .parse()
                .map_err(|_| "it must be a whole number, without a unit".to_owned())?;
            let possible = Some(number).filter(|n| self.holds(*n as f64));
            possible
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| self.rule(unit))
        }
    }

    /// Returns the rule that other numbers break, for a message.
    pub fn rule(&self, unit: &str) -> String {
        let unit = match unit {
            "" => String::new(),
            unit => format!(" {unit}"),
        };
        let interval = match (self.least.is_finite(), self.most.is_finite()) {
            (true, true) => format!("lie between {} and {}{unit}", self.least, self.most),
            (true, false) => format!("be at least {}{unit}", self.least),
            (false, _) => "be a finite number".to_owned(),
        };
        match self.besides {
            [] => format!("it must {interval}"),
            _ => format!(
                "it must {interval} ({}: {})",
                self.besides_in_words(),
                self.meaning
            ),
        }
    }

    /// Returns the numbers for a table: "0.5…100000, or -1"; nothing for any finite number.
    pub fn stated(&self) -> String {
        let interval = match (self.least.is_finite(), self.most.is_finite()) {
            (true, true) => format!("{}…{}", self.least, self.most),
            (true, false) => format!("{} or more", self.least),
            (false, _) => return String::new(),
        };
        match self.besides {
            [] => interval,
            _ => format!("{interval}, or {}", self.besides_in_words()),
        }
    }

    fn besides_in_words(&self) -> String {
        let words: Vec<String> = self.besides.iter().map(f64::to_string).collect();
        words.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_numbers_beside_the_interval_are_held() {
        let range = Range::RESOLUTION_OR_OFF;
        for number in [0.5, 3.0, 1e5, -1.0, 0.0] {
            assert!(range.holds(number), "{number}");
        }
        for number in [1e-4, 0.499, -5.0, -0.5, 1e6, f64::NAN, f64::INFINITY] {
            assert!(!range.holds(number), "{number}");
        }
        assert_eq!(
            range.rule("Å"),
            "it must lie between 0.5 and 100000 Å (-1 or 0: off)"
        );
        assert_eq!(range.stated(), "0.5…100000, or -1 or 0");
    }

    #[test]
    fn words_are_read_as_numbers_of_the_range() {
        let real = Range::PIXEL_SIZE.or(&[-1.0], "from the header").real("Å");
        assert_eq!((real("1.35"), real("-1")), (Ok(1.35), Ok(-1.0)));
        for text in ["0", "-2", "inf", "nan"] {
            let rule = real(text).unwrap_err();
            assert!(rule.ends_with("Å (-1: from the header)"), "{text}: {rule}");
        }
        let whole = Range::at_least(1.0).whole::<usize>("");
        assert_eq!(whole("12"), Ok(12));
        assert_eq!(whole("0").unwrap_err(), "it must be at least 1");
        assert!(whole("1.5").unwrap_err().contains("whole number"));
    }

    #[test]
    fn an_interval_without_an_end_has_a_beginning() {
        assert!(Range::NOT_NEGATIVE.holds(1e30) && !Range::NOT_NEGATIVE.holds(-1e-9));
        assert_eq!(Range::at_least(1.0).rule(""), "it must be at least 1");
        assert_eq!(Range::at_least(1.0).stated(), "1 or more");
        assert!(Range::ANY.holds(-7.0) && !Range::ANY.holds(f64::INFINITY));
        assert_eq!(Range::ANY.stated(), "");
    }
}
