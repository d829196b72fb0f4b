"""Whether what many clients were told about one container can be told at all, if commands happen one after the other.

A command happens at one moment between its call and its return (Herlihy and Wing, "Linearizability", 1990). `wrong`
looks for an order of these moments in which each answer is right in the state that the container is in then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ABSENT, CREATED, RUNNING, DYING, STOPPED = "absent", "created", "running", "dying", "stopped"
"""The states of runtime.md; of a container that was killed both RUNNING and STOPPED may be told until then."""


@dataclass(frozen=True)
class Answer:
    """One command. began, ended: seconds; said: the status that `state` told, or the error, else ""."""

    command: str
    began: float
    ended: float
    succeeded: bool
    said: str = ""


def after(state: str, answer: Answer) -> set[str]:
    """The states that a container may be in after this answer in that state; none when the answer is wrong."""
    states = {state, STOPPED} if state == DYING else {state}
    return {new for each in states for new in _after(each, answer)}


def _after(state: str, answer: Answer) -> set[str]:
    there, ok = state != ABSENT, answer.succeeded
    match answer.command:
        case "create":
            return {CREATED} if ok and not there else {state} if there and not ok else set()
        case "start":
            return {RUNNING} if ok and state == CREATED else {state} if state != CREATED and not ok else set()
        case "kill":
            if not ok:
                return {state} if state in (ABSENT, STOPPED, DYING) else set()
            return {DYING} if state in (CREATED, RUNNING, DYING) else set()
        case "delete":
            if not ok:
                return {state} if state in (ABSENT, RUNNING, DYING) else set()
            return {ABSENT} if state in (CREATED, STOPPED) else set()
        case "end":  # what `delete --force` does first
            return {DYING} if state in (CREATED, RUNNING, DYING) else {state}
        case "force":
            return {ABSENT} if ok and state in (ABSENT, DYING, STOPPED) else set()
        case "exec":
            return {state} if ok == (state in (CREATED, RUNNING)) or state == DYING else set()
        case _:
            shown = {RUNNING, CREATED} if state == DYING else {state}
            return {state} if (answer.said in shown if ok else not there) else set()


def _in_between(answer: Answer, answers: list[Answer]) -> bool:
    """Whether it is about a container that is being made or removed."""
    others = [each for each in answers if each.began < answer.ended and answer.began < each.ended and each != answer]
    match answer.command, answer.succeeded, answer.said:
        case "state", True, "creating":
            other = "create"
        case ("create", False, _):
            return any(each.command in ("create", "force") for each in others)
        case _:
            return False
    return any(each.command == other for each in others)


def wrong(answers: list[Answer]) -> tuple[Answer, set[str]] | None:
    """None when there is such an order, which begins with no container; else an answer that fits into none.

    With it come the states that the container may have been in when all others, that had returned before, were given.
    """
    answers = [each for each in answers if not _in_between(each, answers)]
    # `delete --force` happens at two moments, of which others may see what is between.
    answers = [replace(each, command="end") for each in answers if each.command == "force"] + answers
    forced = [at for at, each in enumerate(answers) if each.command == "force"]
    earlier = {force: end for end, force in enumerate(forced)}
    todo = [(frozenset(range(len(answers))), ABSENT)]
    seen = set(todo)
    furthest = todo[0]
    while todo:
        left, state = todo.pop()
        if not left:
            return None
        if len(left) < len(furthest[0]):
            furthest = left, state
        first = min(answers[each].ended for each in left)
        for each in left:
            # Another one has returned before it was called, or it is the second of two moments.
            if answers[each].began > first or earlier.get(each) in left:
                continue
            for new in after(state, answers[each]):
                found = (left - {each}, new)
                if found not in seen:
                    seen.add(found)
                    todo.append(found)
    left = furthest[0]
    return min((answers[each] for each in left), key=lambda each: each.ended), {s for rest, s in seen if rest == left}
