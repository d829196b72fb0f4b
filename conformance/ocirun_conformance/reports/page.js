"use strict";
const form = document.querySelector("form"), duties = [...document.querySelectorAll("tbody[data-level]")];
function filter() {
    const text = form.text.value.toLowerCase(), {level, outcome, subject} = form;
    let shown = 0;
    for (const duty of duties) {
        const {dataset} = duty;
        duty.hidden = (level.value && dataset.level !== level.value)
            || (subject.value && dataset.subject !== subject.value)
            || (outcome.value && !dataset.outcomes.split("|").includes(outcome.value))
            || !duty.textContent.toLowerCase().includes(text);
        shown += !duty.hidden;
    }
    form.querySelector("output").value = `${shown} of ${duties.length} duties`;
}
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
for (const link of document.querySelectorAll("a.cell"))
    link.addEventListener("click", () => { document.getElementById(link.hash.slice(1)).closest("details").open = true; });
addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details.failure")) each.open = true; });
filter();
