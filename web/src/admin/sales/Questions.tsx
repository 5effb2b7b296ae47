// The questions of a sale: each buyer is asked one of them; the right choice is marked.
import { t } from "../text";
import { TextField } from "../ui/Labelled";
import {
  CHOICES_MAX,
  newChoice,
  newQuestion,
  QUESTIONS_MAX,
  type QuestionDraft,
  withoutChoice,
} from "./form";

interface Props {
  questions: QuestionDraft[];
  onChange: (questions: QuestionDraft[]) => void;
  wrong: (field: string) => string | undefined;
}

export function Questions({ questions, onChange, wrong }: Props) {
  const replace = (at: number, question: QuestionDraft) =>
    onChange(questions.map((old, i) => (i === at ? question : old)));
  return (
    <fieldset class="questions">
      <legend>{t("questions.title")}</legend>
      <p class="hint">{t("questions.hint")}</p>
      {questions.map((question, i) => (
        <div class="question" key={i}>
          <QuestionFields
            number={i}
            question={question}
            wrong={wrong}
            onChange={(changed) => replace(i, changed)}
          />
          {questions.length > 1 && (
            <button
              type="button"
              class="link"
              onClick={() => onChange(questions.filter((_, at) => at !== i))}
            >
              {t("questions.remove", { n: i + 1 })}
            </button>
          )}
        </div>
      ))}
      {questions.length < QUESTIONS_MAX && (
        <button
          type="button"
          class="button"
          onClick={() => onChange([...questions, newQuestion()])}
        >
          {t("questions.add")}
        </button>
      )}
    </fieldset>
  );
}

interface QuestionProps {
  number: number;
  question: QuestionDraft;
  wrong: (field: string) => string | undefined;
  onChange: (question: QuestionDraft) => void;
}

function QuestionFields({ number, question, wrong, onChange }: QuestionProps) {
  const field = `questions[${number}]`;
  const { choices, right } = question;
  const choose = (at: number, text: string) =>
    onChange({ ...question, choices: choices.map((c, i) => (i === at ? { ...c, text } : c)) });
  const add = () => onChange({ ...question, choices: [...choices, newChoice(choices)] });
  return (
    <>
      <TextField
        label={t("questions.text", { n: number + 1 })}
        value={question.text}
        onValue={(text) => onChange({ ...question, text })}
        error={wrong(`${field}.text`)}
        maxLength={500}
      />
      <div role="radiogroup" aria-label={t("questions.right_of", { n: number + 1 })}>
        {choices.map(({ key, text }, i) => (
          <div class="choice" key={key}>
            <label class="right">
              <input
                type="radio"
                name={`right-${number}`}
                checked={right === i}
                onChange={() => onChange({ ...question, right: i })}
              />
              <span>{t("questions.right")}</span>
            </label>
            <TextField
              label={t("questions.choice", { n: i + 1 })}
              value={text}
              onValue={(value) => choose(i, value)}
              error={wrong(`${field}.choices[${i}].text`)}
              maxLength={200}
            />
            {choices.length > 2 && (
              <RemoveChoice number={i} onRemove={() => onChange(withoutChoice(question, i))} />
            )}
          </div>
        ))}
      </div>
      {choices.length < CHOICES_MAX && (
        <button type="button" class="link" onClick={add}>
          {t("questions.add_choice")}
        </button>
      )}
    </>
  );
}

function RemoveChoice({ number, onRemove }: { number: number; onRemove: () => void }) {
  const label = t("questions.remove_choice", { n: number + 1 });
  return (
    <button type="button" class="link" aria-label={label} onClick={onRemove}>
      ✕
    </button>
  );
}
