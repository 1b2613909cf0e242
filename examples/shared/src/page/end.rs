//! When a token ends: the form's question and its answer.

use std::time::Duration;

use app_tokens::error::LifeError;
use app_tokens::record::Expires;
use app_tokens::{NewToken, Policy, Timestamp};
use maud::{Markup, html};

use super::form::{Fields, Problems};
use super::layout::error;
use super::problem::end_words;
use super::times;
use super::wording::EndQuestion;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What is offered, if the policy allows it.
const OFFERED: [(u32, &str); 3] = [(30, "In 30 days"), (90, "In 90 days"), (365, "In a year")];

/// Returns whether an end is so near that it is pointed out.
pub(super) fn ends_soon(end: Expires, now: Timestamp) -> bool {
    end.at().is_some_and(|at| at.since(now) <= super::wording::SOON)
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What the policy says.
    Default,
    /// The end that it has, if it replaces one.
    Kept,
    In(Duration),
    At(Timestamp),
    Never,
}

impl End {
    /// Sets the end of a new token.
    pub(super) fn of(self, new: NewToken) -> NewToken {
        match self {
            End::Default | End::Kept => new,
            End::In(life) => new.expires_in(life),
            End::At(at) => new.expires_at(at),
            End::Never => new.never_expires(),
        }
    }

    /// Returns the end as seen from `now`. `None` if it is not asked for.
    pub(super) fn seen_from(self, now: Timestamp) -> Option<Expires> {
        match self {
            End::Default | End::Kept => None,
            End::In(life) => Some(Expires::At(now.saturating_add(life))),
            End::At(at) => Some(Expires::At(at)),
            End::Never => Some(Expires::Never),
        }
    }
}

/// The question about the end, under a policy at a moment.
pub(super) struct Question<'p> {
    pub policy: &'p Policy,
    pub asked: EndQuestion,
    pub now: Timestamp,
    /// The end of the token that is replaced.
    pub kept: Option<Expires>,
    /// Whether the field for a day says what a day means.
    pub hint: bool,
}

impl Question<'_> {
    fn offered(&self) -> impl Iterator<Item = (u32, &'static str)> {
        let max = self.policy.max_life();
        OFFERED.into_iter().filter(move |(days, _)| max.is_none_or(|max| DAY * *days <= max))
    }

    /// Returns the last day that may be chosen.
    fn last_day(&self) -> Option<Timestamp> {
        let last = self.policy.max_life().map(|max| self.now.saturating_add(max))?;
        // The whole day must fit, as a day means its end.
        let end_of_it = times::end_of_day(&times::iso_day(last))?;
        Some(if end_of_it > last { last.saturating_sub(DAY) } else { last })
    }

    fn first_choice(&self) -> String {
        if self.kept.is_some_and(|end| !ends_soon(end, self.now)) {
            return "keep".into();
        }
        let offered: Vec<u32> = self.offered().map(|(days, _)| days).collect();
        let first = offered.iter().find(|days| **days == 90).or(offered.last());
        first.map_or("date".into(), u32::to_string)
    }

    /// Writes the question, with what was chosen before.
    pub(super) fn write(&self, chosen: &Fields, problems: &Problems) -> Markup {
        match self.asked {
            EndQuestion::Choices => self.write_choices(chosen, problems),
            EndQuestion::Day => html! {
                div.field {
                    label for="end" { "Expiration date" }
                    (self.date_field("end", chosen, problems, true))
                }
            },
            EndQuestion::Nothing | EndQuestion::Never => html! {},
        }
    }

    fn write_choices(&self, chosen: &Fields, problems: &Problems) -> Markup {
        let first = self.first_choice();
        let chosen_end = chosen.get("end").unwrap_or(&first);
        let radio = |value: &str, words: &str, day: Option<Timestamp>| {
            html! {
                label.choice {
                    input type="radio" name="end" value=(value) checked[value == chosen_end];
                    span {
                        (words)
                        @if let Some(day) = day {
                            " " span.soft { "– " (times::day_in_words(day)) }
                        }
                    }
                }
            }
        };
        html! {
            fieldset {
                legend {
                    @if self.kept.is_some() { "When does the new one end?" }
                    @else { "When does it end?" }
                }
                div.choices {
                    @if let Some(kept) = self.kept {
                        (radio("keep", "As the old one would have", kept.at()))
                    }
                    @for (days, words) in self.offered() {
                        (radio(
                            &days.to_string(),
                            words,
                            Some(self.now.saturating_add(DAY * days)),
                        ))
                    }
                    @if self.policy.allows_never_expiring() { (radio("never", "Never", None)) }
                    (radio("date", "On a day of my own", None))
                    div.more {
                        label.hidden for="date" { "Last day" }
                        (self.date_field("date", chosen, problems, false))
                    }
                }
            }
        }
    }

    fn date_field(
        &self,
        name: &'static str,
        chosen: &Fields,
        problems: &Problems,
        is_required: bool,
    ) -> Markup {
        let tomorrow = times::iso_day(self.now.saturating_add(DAY));
        let last = self.last_day().map(times::iso_day);
        let problem = problems.at("end").or(problems.at("date"));
        let described = match problem {
            Some(_) => Some("date-error"),
            None => self.hint.then_some("date-hint"),
        };
        // A day that must be chosen begins with the length that is offered first elsewhere.
        let usual = is_required.then(|| {
            let usual = self.now.saturating_add(DAY * 90);
            times::iso_day(self.last_day().map_or(usual, |last| last.min(usual)))
        });
        let value = chosen.get("date").map(str::to_owned).or(usual).unwrap_or_default();
        html! {
            input id=(name) name="date" type="date" min=(tomorrow) max=[last] value=(value)
                required[is_required] aria-invalid=[problem.map(|_| "true")]
                aria-describedby=[described];
            @if let Some(problem) = problem {
                (error("date-error", problem))
            } @else if self.hint {
                p.hint #date-hint { "It works until the end of that day, by the clock of UTC." }
            }
        }
    }

    /// Reads the answer. What is not offered is a problem.
    pub(super) fn read(&self, fields: &Fields, problems: &mut Problems) -> Option<End> {
        let end = match self.asked {
            EndQuestion::Nothing => return Some(End::Default),
            EndQuestion::Never => return Some(End::Never),
            EndQuestion::Day => "date",
            EndQuestion::Choices => fields.text("end"),
        };
        let field = if self.asked == EndQuestion::Day { "end" } else { "date" };
        match end {
            "keep" if self.kept.is_some() => Some(End::Kept),
            "never" if self.policy.allows_never_expiring() => Some(End::Never),
            "date" => {
                let Some(at) = times::end_of_day(fields.text("date")) else {
                    problems.add(field, "The last day is missing", "Choose a day.");
                    return None;
                };
                let max = self.policy.max_life();
                let error = match max {
                    _ if at <= self.now => LifeError::NoLife,
                    Some(max) if at.since(self.now) > max => LifeError::TooLong { max },
                    _ => return Some(End::At(at)),
                };
                let summary = match error {
                    LifeError::NoLife => "The end is over already",
                    _ => "The end is too late",
                };
                let words = match (error, self.last_day()) {
                    (LifeError::TooLong { max }, Some(last)) => format!(
                        "Choose {} or earlier: {} is the longest here.",
                        times::day_in_words(last),
                        times::in_words(max)
                    ),
                    _ => end_words(&error),
                };
                problems.add(field, summary, words);
                None
            }
            days => {
                let offered = self.offered().find(|(offered, _)| offered.to_string() == days);
                if offered.is_none() {
                    problems.add("date", "When it ends is missing", "Choose one of these.");
                }
                offered.map(|(days, _)| End::In(DAY * days))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(policy: &Policy, end: &str, date: &str) -> Result<End, String> {
        let now = "2026-11-26T14:03:00Z".parse().unwrap();
        let question =
            Question { policy, asked: EndQuestion::Choices, now, kept: None, hint: true };
        let fields = Fields::default().with("end", end).with("date", date);
        let mut problems = Problems::default();
        let end = question.read(&fields, &mut problems);
        end.ok_or_else(|| problems.at("date").unwrap().to_owned())
    }

    #[test]
    fn only_what_the_policy_allows_is_offered_and_taken() {
        let any = Policy::new("acme").unwrap();
        assert_eq!(read(&any, "90", "").unwrap(), End::In(DAY * 90));
        for bad in ["", "91", "never", "keep", "0", "-1", "9999999999"] {
            assert_eq!(read(&any, bad, "").unwrap_err(), "Choose one of these.", "{bad}");
        }
        let never = any.clone().with_never_expiring().unwrap();
        assert_eq!(read(&never, "never", "").unwrap(), End::Never);
        let short = any.with_max_life(DAY * 60).unwrap();
        assert!(read(&short, "90", "").is_err() && read(&short, "30", "").is_ok());
    }

    #[test]
    fn a_day_means_its_end_and_must_fit_as_a_whole() {
        let year = Policy::new("acme").unwrap().with_max_life(DAY * 365).unwrap();
        let end = read(&year, "date", "2026-12-31").unwrap();
        assert_eq!(end, End::At("2026-12-31T23:59:59Z".parse().unwrap()));
        assert_eq!(
            read(&year, "date", "2031-01-01").unwrap_err(),
            "Choose 25 November 2027 or earlier: a year is the longest here."
        );
        assert!(read(&year, "date", "2027-11-25").is_ok(), "what the error names is taken");
        assert!(read(&year, "date", "2027-11-26").is_err());
        assert_eq!(
            read(&year, "date", "2026-11-25").unwrap_err(),
            "This day is over. Choose a later one."
        );
        assert_eq!(read(&year, "date", "").unwrap_err(), "Choose a day.");
    }
}
