"use strict";
const form = document.querySelector("form"), duties = [...document.querySelectorAll("tbody[data-level]")];
function filter() {
    const text = form.text.value.trim().toLowerCase(), {level, outcome, runtime, subject} = form;
    let shown = 0;
    for (const duty of duties) {
        const {dataset} = duty, outcomes = dataset.outcomes.split("|");
        duty.hidden = (level.value && dataset.level !== level.value)
            || (subject.value && dataset.subject !== subject.value)
            || (outcome.value && !(runtime.value ? [outcomes[runtime.value]] : outcomes).includes(outcome.value))
            || !duty.textContent.toLowerCase().includes(text);
        shown += !duty.hidden;
    }
    form.querySelector("output").value = `${shown} of ${duties.length} duties`;
}
// What the address names is shown, whatever the filters say: a failure, or a duty with its only failure.
function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target)
        return;
    const duty = target.closest("tbody[data-level]"), found = duty?.querySelectorAll("details.failure") ?? [];
    if (duty?.hidden) {
        form.reset();
        filter();
    }
    const details = target.closest("details") ?? (found.length === 1 ? found[0] : null);
    if (details)
        details.open = true;
    target.scrollIntoView();
}
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("reset", () => setTimeout(filter));
form.addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", follow);
// for browsers whose style sheets cannot open them
let opened = [];
addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.failure:not([open])")];
    for (const each of opened)
        each.open = true;
});
addEventListener("afterprint", () => {
    for (const each of opened)
        each.open = false;
});
filter();
follow();
