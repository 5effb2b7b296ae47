// The question this buyer is asked, as choices to press.
import type { Question } from "../../api/types";
import { t } from "../../i18n";

interface Props {
  question: Question | null;
  answer: string | null;
  onAnswer: (key: string) => void;
  disabled: boolean;
}

export function QuestionBox({ question, answer, onAnswer, disabled }: Props) {
  if (!question) return <p class="quiet">{t("buy.question.loading")}</p>;
  return (
    <fieldset class="question" disabled={disabled}>
      <legend>
        <span class="question-label">{t("buy.question")}</span>
        {question.text}
      </legend>
      {question.choices.map((choice) => (
        <label class="choice" key={choice.key}>
          <input
            type="radio"
            name="answer"
            value={choice.key}
            checked={answer === choice.key}
            onChange={() => onAnswer(choice.key)}
          />
          <span>{choice.text}</span>
        </label>
      ))}
      <p class="quiet small">{t("buy.question.why")}</p>
    </fieldset>
  );
}
