// The questions of a sale: each buyer is asked one of them; the right choice is marked.
import { t } from "../text";
import { TextField } from "../ui/Labelled";
import { CHOICES_MAX, newChoice, newQuestion, QUESTIONS_MAX, type QuestionDraft } from "./form";

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
          <One
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

interface OneProps {
  number: number;
  question: QuestionDraft;
  wrong: (field: string) => string | undefined;
  onChange: (question: QuestionDraft) => void;
}

function One({ number, question, wrong, onChange }: OneProps) {
  const field = `questions[${number}]`;
  const choose = (at: number, text: string) =>
    onChange({
      ...question,
      choices: question.choices.map((c, i) => (i === at ? { ...c, text } : c)),
    });
  const remove = (at: number) =>
    onChange({
      ...question,
      choices: question.choices.filter((_, i) => i !== at),
      right: question.right > at ? question.right - 1 : question.right === at ? 0 : question.right,
    });
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
        {question.choices.map(({ key, text }, i) => (
          <div class="choice" key={key}>
            <label class="right">
              <input
                type="radio"
                name={`right-${number}`}
                checked={question.right === i}
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
            {question.choices.length > 2 && (
              <button
                type="button"
                class="link"
                aria-label={t("questions.remove_choice", { n: i + 1 })}
                onClick={() => remove(i)}
              >
                ✕
              </button>
            )}
          </div>
        ))}
      </div>
      {question.choices.length < CHOICES_MAX && (
        <button
          type="button"
          class="link"
          onClick={() =>
            onChange({ ...question, choices: [...question.choices, newChoice(question.choices)] })
          }
        >
          {t("questions.add_choice")}
        </button>
      )}
    </>
  );
}
