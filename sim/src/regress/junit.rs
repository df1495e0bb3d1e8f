//! A regression's outcome for CI systems.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::Case;

/// The report's text: one test case a scenario. No times: a result does not depend on the machine.
pub fn junit(cases: &[Case]) -> String {
    let mut suite = TestSuite::new("scenarios");
    for case in cases {
        let status = if case.passes() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let lines = case.complaints();
            status.set_message(lines.first().cloned().unwrap_or_default());
            status.set_description(lines.join("\n"));
            status
        };
        suite.add_test_case(TestCase::new(case.scenario.clone(), status));
    }
    let mut report = Report::new("sim regress");
    report.add_test_suite(suite);
    report.to_string().expect("a report of plain text always serialises")
}
